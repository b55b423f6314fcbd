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
  description = "Who issues access tokens, for whom, and what its scopes begin with."
  type        = object({ issuer = string, audience = string, scope_prefix = optional(string, "") })
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

variable "parameters" {
  description = "Path of SSM parameters that are settings too."
  type        = string
  default     = null
}

variable "reserved_concurrency" {
  description = "How many of a function run at most, by its key."
  type        = map(number)
  default     = {}
}

variable "api_provisioned" {
  description = "How many of the API are kept warm; 0: none."
  type        = number
  default     = 0
}

variable "snap_start" {
  description = "Whether the API begins from a snapshot; takes packages for Python 3.12."
  type        = bool
  default     = false
}

variable "ocr_image" {
  description = "Image of the function that reads text in pixels (infra/docker/ocr.Dockerfile), in ECR; the zips without it."
  type        = string
  default     = null
}

variable "authorizer" {
  description = "Whether API Gateway checks tokens too, before the function does; API keys do not pass it."
  type        = bool
  default     = false
}

variable "quarantined_percent" {
  description = "Percent of the objects that come which may be no images, or damaged ones, before somebody is told."
  type        = number
  default     = 20
}

variable "glacier_days" {
  description = "Days after which images go to Glacier; 0: never."
  type        = number
  default     = 0
}

variable "object_lock_days" {
  description = "Days for which no image can be deleted from S3; 0: no Object Lock."
  type        = number
  default     = 0
}

variable "replicas" {
  description = "Buckets of another region that images are copied to."
  type        = map(object({ bucket_arn = string, kms_key_arn = string }))
  default     = {}
}

variable "domain" {
  description = "A domain of one's own, with its certificate."
  type        = object({ name = string, certificate_arn = string })
  default     = null
}

variable "page" {
  description = "Whether page and API get one address by CloudFront. Not together with `domain`."
  type        = bool
  default     = false
}

variable "page_domain" {
  description = "A domain of one's own for it, with a certificate of us-east-1."
  type        = object({ name = string, certificate_arn = string })
  default     = null
}

variable "web_acl_arn" {
  description = "A web ACL of AWS WAF for it. An HTTP API by itself cannot have one."
  type        = string
  default     = null
}

variable "vpc" {
  description = "A VPC to run in, with private subnets and their route tables; outside of any without it."
  type        = object({ id = string, subnets = list(string), route_tables = list(string) })
  default     = null
}

variable "monthly_budget" {
  description = "US dollars a month above which somebody is told; 0: no budget."
  type        = number
  default     = 0
}

variable "alarm_emails" {
  description = "Who is told of alarms; each confirms by a link that AWS sends."
  type        = list(string)
  validation {
    condition     = length(var.alarm_emails) > 0
    error_message = "Somebody has to be told."
  }
}

variable "bulk_buckets" {
  description = "Buckets that manifests may name objects of, besides bulk/ of the raw bucket; nothing in them is changed."
  type        = list(string)
  default     = []
}
