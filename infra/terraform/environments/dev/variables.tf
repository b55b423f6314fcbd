variable "region" {
  description = "AWS region."
  type        = string
  default     = "us-east-1"
}

variable "packages" {
  description = "Folder that `make lambda` wrote the packages to."
  type        = string
  default     = "../../../../build/lambda"
}

variable "oidc" {
  description = "Who issues access tokens, and for whom; API keys alone without it."
  type        = object({ issuer = string, audience = string, scope_prefix = optional(string, "") })
  default     = null
}

variable "cors_origins" {
  description = "Web origins that may call from a browser."
  type        = list(string)
  default     = []
}

variable "rekognition" {
  description = "Whether pictures may be sent to Amazon Rekognition."
  type        = bool
  default     = false
}

variable "more_settings" {
  description = "Settings besides (ISOCENTER_...), which win."
  type        = map(string)
  default     = {}
}

variable "alarm_emails" {
  description = "Who is told of alarms; each confirms by a link that AWS sends."
  type        = list(string)
  default     = []
}

variable "monthly_budget" {
  description = "US dollars a month above which somebody is told; 0: no budget."
  type        = number
  default     = 0
}

variable "bulk_buckets" {
  description = "Buckets that manifests may name objects of, besides bulk/ of the raw bucket; nothing in them is changed."
  type        = list(string)
  default     = []
}
