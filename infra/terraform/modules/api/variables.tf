variable "name" {
  description = "What the names of all resources begin with."
  type        = string
}

variable "function_name" {
  description = "The function behind; its alias `live` is called."
  type        = string
}

variable "invoke_arn" {
  description = "The alias as an HTTP API calls it."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that logs are encrypted with."
  type        = string
}

variable "jwt" {
  description = "Issuer and audiences of tokens that are asked for before the function is called; none without it."
  type        = object({ issuer = string, audience = list(string) })
  default     = null
}

variable "open_routes" {
  description = "Routes that take no token where `jwt` is given."
  type        = list(string)
  default     = ["GET /health", "GET /ready", "GET /delivered/{proxy+}", "HEAD /delivered/{proxy+}"]
}

variable "cors_origins" {
  description = "Web origins that may call from a browser."
  type        = list(string)
  default     = []
}

variable "rate" {
  description = "Requests a second above which clients are answered 429."
  type        = number
  default     = 200
}

variable "burst" {
  description = "Requests at once above which they are."
  type        = number
  default     = 400
}

variable "domain" {
  description = "A domain of one's own, with its certificate; the address that AWS gives is closed then."
  type        = object({ name = string, certificate_arn = string })
  default     = null
}

variable "log_days" {
  description = "Days for which log lines are kept."
  type        = number
  default     = 90
}
