variable "name" {
  description = "The table's name."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that the table is encrypted with."
  type        = string
}

variable "deletion_protection" {
  description = "Whether the table refuses to be deleted."
  type        = bool
  default     = true
}

variable "stream" {
  description = "Whether changes are streamed, for what listens besides."
  type        = bool
  default     = false
}
