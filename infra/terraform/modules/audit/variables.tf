variable "name" {
  description = "The trail's name."
  type        = string
}

variable "logs_bucket" {
  description = "Bucket that events are written to, below trail/."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that events are encrypted with."
  type        = string
}

variable "bucket_arns" {
  description = "Buckets whose objects' reads and writes are recorded."
  type        = list(string)
}

variable "table_arn" {
  description = "Table whose items' reads and writes are recorded."
  type        = string
}

variable "all_regions" {
  description = "Whether events of other regions are recorded too."
  type        = bool
  default     = true
}
