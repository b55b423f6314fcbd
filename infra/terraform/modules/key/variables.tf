variable "name" {
  description = "What the names of all resources begin with."
  type        = string
}

variable "deletion_days" {
  description = "Days between the key's deletion and its end, in which it can be had back."
  type        = number
  default     = 30
  validation {
    condition     = var.deletion_days >= 7 && var.deletion_days <= 30
    error_message = "KMS takes 7 to 30 days."
  }
}

variable "trail" {
  description = "Whether a CloudTrail trail of this name writes with the key."
  type        = bool
  default     = false
}
