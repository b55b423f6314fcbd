variable "name" {
  description = "What the names of all resources begin with."
  type        = string
}

variable "packages" {
  description = "Folder with isocenter.zip, dependencies.zip and packages.json, as `make lambda` leaves it."
  type        = string
}

variable "packages_bucket" {
  description = "Bucket through which the layer goes: it is too large to be sent to Lambda itself."
  type        = string
}

variable "environment" {
  description = "Settings of every function (ISOCENTER_...)."
  type        = map(string)
}

variable "more_environment" {
  description = "Settings besides, which win."
  type        = map(string)
  default     = {}
}

variable "kms_key_arn" {
  description = "Key of images, table, queue, logs and environment."
  type        = string
}

variable "table_arn" {
  description = "The table."
  type        = string
}

variable "raw_bucket_arn" {
  description = "The raw bucket."
  type        = string
}

variable "deidentified_bucket_arn" {
  description = "The deidentified bucket."
  type        = string
}

variable "queue_arn" {
  description = "Queue of events of objects."
  type        = string
}

variable "dead_letters_arn" {
  description = "Queue of what could not be done."
  type        = string
}

variable "machine_arns" {
  description = "State machines by plan, `<plan>.express` for jobs of one chunk."
  type        = map(string)
}

variable "secrets_prefix" {
  description = "What the names of the secrets begin with that the functions make and read."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z0-9_+=.@-]+/$", var.secrets_prefix))
    error_message = "A word and a slash."
  }
}

variable "parameters" {
  description = "Path of SSM parameters that are settings too; none without it."
  type        = string
  default     = null
  validation {
    condition     = var.parameters == null || can(regex("^/[A-Za-z0-9_./-]+[A-Za-z0-9_.-]$", var.parameters))
    error_message = "A path that begins with a slash and ends without one."
  }
}

variable "rekognition" {
  description = "Whether pictures may be sent to Amazon Rekognition."
  type        = bool
  default     = false
}

variable "tracing" {
  description = "Whether X-Ray traces are kept."
  type        = bool
  default     = true
}

variable "network" {
  description = "Subnets and security groups to run in; outside of any VPC without it."
  type        = object({ subnets = list(string), security_groups = list(string) })
  default     = null
}

variable "api_memory" {
  description = "Megabytes of the API; its share of a processor goes with them."
  type        = number
  default     = 1024
}

variable "upload_event_memory" {
  description = "Megabytes of the function that takes in what was put into incoming/."
  type        = number
  default     = 1024
}

variable "upload_event_timeout" {
  description = "Seconds it may take for a batch of ten."
  type        = number
  default     = 300
  validation {
    condition     = var.upload_event_timeout >= 10 && var.upload_event_timeout <= 900
    error_message = "Lambda ends a function after 900 seconds."
  }
}

variable "step_memory" {
  description = "Megabytes of the two functions that do steps: small validate and deliver, large decode pixels too."
  type        = object({ small = number, large = number })
  default     = { small = 1024, large = 2048 }
}

variable "step_timeout" {
  description = "Seconds a task of a job may take before it is brought again."
  type        = number
  default     = 900
  validation {
    condition     = var.step_timeout >= 10 && var.step_timeout <= 900
    error_message = "Lambda ends a function after 900 seconds."
  }
}

variable "maintenance_memory" {
  description = "Megabytes of the function that sweeps."
  type        = number
  default     = 512
}

variable "maintenance_schedule" {
  description = "How often it is called."
  type        = string
  default     = "rate(10 minutes)"
}

variable "temporary_megabytes" {
  description = "Space below /tmp of the functions that take in and work on images."
  type        = number
  default     = 4096
}

variable "reserved_concurrency" {
  description = "How many of a function run at most, by api, upload_event, step_small, step_large, bulk or maintenance."
  type        = map(number)
  default     = {}
  validation {
    condition     = alltrue([for key in keys(var.reserved_concurrency) : contains(["api", "upload_event", "step_small", "step_large", "bulk", "maintenance"], key)])
    error_message = "There are api, upload_event, step_small, step_large, bulk and maintenance."
  }
  validation {
    condition     = alltrue([for most in values(var.reserved_concurrency) : most >= 1]) && lookup(var.reserved_concurrency, "upload_event", 2) >= 2
    error_message = "One at least, and two of upload_event: its queue is read by two at least."
  }
}

variable "api_provisioned" {
  description = "How many of the API are kept warm (paid by the hour); 0: none. Not together with snap_start."
  type        = number
  default     = 0
  validation {
    condition     = var.api_provisioned == 0 || !var.snap_start
    error_message = "AWS takes one or the other: api_provisioned or snap_start."
  }
  validation {
    condition     = var.api_provisioned >= 0 && var.api_provisioned <= lookup(var.reserved_concurrency, "api", var.api_provisioned)
    error_message = "No more are kept warm than may run (reserved_concurrency), and no fewer than none."
  }
}

variable "snap_start" {
  description = "Whether the API begins from a snapshot; takes packages for Python 3.12."
  type        = bool
  default     = false
}

variable "log_days" {
  description = "Days for which log lines are kept."
  type        = number
  default     = 90
}

variable "bulk_buckets" {
  description = "Buckets that manifests may name objects of, besides bulk/ of the raw bucket; nothing in them is changed."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for bucket in var.bulk_buckets : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", bucket))])
    error_message = "Names of buckets, without s3:// and without a prefix."
  }
}

variable "ocr_image" {
  description = "Image of the function that does steps of pixels and reads text in them (infra/docker/ocr.Dockerfile), in ECR; the zips without it."
  type        = string
  default     = null
  validation {
    condition     = var.ocr_image == null || can(regex("^[0-9]{12}\\.dkr\\.ecr\\.[a-z0-9-]+\\.amazonaws\\.com(\\.cn)?/[a-z0-9._/-]+(:[A-Za-z0-9._-]+|@sha256:[0-9a-f]{64})$", var.ocr_image))
    error_message = "An image in ECR with its tag or digest; Lambda takes images from nowhere else."
  }
}
