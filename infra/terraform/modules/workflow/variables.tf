variable "name" {
  description = "What the names of all resources begin with."
  type        = string
}

variable "step_functions" {
  description = "Aliases of the functions that do steps, by class: small and large."
  type        = object({ small = string, large = string })
}

variable "small" {
  description = "Plans whose steps decode no pixels: the small function does them."
  type        = set(string)
  default     = []
}

variable "bulk_function" {
  description = "Alias of the function that takes in what a manifest names."
  type        = string
}

variable "raw_bucket_arn" {
  description = "The raw bucket: how far a bulk is, is kept in it below bulk-state/."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that logs are encrypted with."
  type        = string
}

variable "tracing" {
  description = "Whether X-Ray traces are kept."
  type        = bool
  default     = true
}

variable "log_days" {
  description = "Days for which log lines are kept."
  type        = number
  default     = 90
}
