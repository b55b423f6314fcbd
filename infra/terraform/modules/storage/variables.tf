variable "name" {
  description = "What the names of all resources begin with."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that images are encrypted with."
  type        = string
}

variable "force_destroy" {
  description = "Whether destroying takes images with it. Never true where they matter."
  type        = bool
  default     = false
}

variable "cors_origins" {
  description = "Web origins whose pages may send parts of uploads straight into the bucket."
  type        = list(string)
  default     = []
}

variable "processed_days" {
  description = "Days after which an object that was put into incoming/ and taken in is gone; the image itself is kept."
  type        = number
  default     = 30
}

variable "deleted_days" {
  description = "Days for which what was deleted or overwritten can be had back from S3's versions."
  type        = number
  default     = 30
}

variable "tiering_days" {
  description = "Days after which images go to Intelligent-Tiering; 0: never."
  type        = number
  default     = 30
  validation {
    condition     = var.tiering_days >= 0
    error_message = "Days are 0 or more."
  }
}

variable "glacier_days" {
  description = "Days after which images go to Glacier Flexible Retrieval, from which they have to be restored first; 0: never."
  type        = number
  default     = 0
  validation {
    condition     = var.glacier_days == 0 || var.glacier_days >= 90
    error_message = "0, or 90 days at least: earlier it costs more than it saves."
  }
}

variable "log_days" {
  description = "Days for which access logs are kept."
  type        = number
  default     = 400
}

variable "object_lock_days" {
  description = "Days for which no image can be deleted from S3 (governance mode); 0: no Object Lock. Only settable from the start."
  type        = number
  default     = 0
  validation {
    condition     = var.object_lock_days >= 0 && var.object_lock_days <= 36500
    error_message = "S3 takes 1 to 36500 days; 0: no Object Lock."
  }
}

variable "replicas" {
  description = "Buckets of another region that raw or deidentified are copied to, with the key used there."
  type        = map(object({ bucket_arn = string, kms_key_arn = string }))
  default     = {}
  validation {
    condition     = alltrue([for name in keys(var.replicas) : contains(["raw", "deidentified"], name)])
    error_message = "Only raw and deidentified can be copied."
  }
}

variable "trail_arn" {
  description = "The CloudTrail trail that writes into the logs bucket, if any."
  type        = string
  default     = null
}
