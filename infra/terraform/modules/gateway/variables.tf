variable "environment" {
  description = "Name of the environment; all names begin with isocenter- and it."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,15}$", var.environment))
    error_message = "Lower-case letters, digits and hyphens, 2 to 16 of them."
  }
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "packages" {
  description = "Folder that `make lambda` wrote the packages to."
  type        = string
}

variable "keep_data" {
  description = "Whether images, table and key outlive a careless destroy."
  type        = bool
  default     = true
}

variable "oidc" {
  description = "Who issues access tokens, for whom, and what its scopes begin with. Without it only API keys open the gateway."
  type        = object({ issuer = string, audience = string, scope_prefix = optional(string, "") })
  default     = null
  validation {
    condition     = var.oidc == null || can(regex("^https://", var.oidc.issuer))
    error_message = "An issuer is an https:// address."
  }
}

variable "authorizer" {
  description = "Whether API Gateway checks tokens too, before the function does; API keys do not pass it."
  type        = bool
  default     = false
  validation {
    condition     = !var.authorizer || var.oidc != null
    error_message = "It takes `oidc`, whose tokens it checks."
  }
}

variable "incoming_pipeline" {
  description = "Pipeline that is run over each image that is put into incoming/."
  type        = string
  default     = "validate-deidentify"
}

variable "small_plans" {
  description = "Plans whose steps decode no pixels: the small function does them."
  type        = set(string)
  default     = []
}

variable "log_level" {
  description = "Least severe line logged."
  type        = string
  default     = "info"
  validation {
    condition     = contains(["debug", "info", "warning", "error"], var.log_level)
    error_message = "debug, info, warning or error."
  }
}

variable "parameters" {
  description = "Path of SSM parameters that are settings too."
  type        = string
  default     = null
}

variable "more_settings" {
  description = "Settings besides (ISOCENTER_...), which win."
  type        = map(string)
  default     = {}
}

variable "cors_origins" {
  description = "Web origins that may call from a browser, and send parts of uploads."
  type        = list(string)
  default     = []
}

variable "rekognition" {
  description = "Whether pictures may be sent to Amazon Rekognition."
  type        = bool
  default     = false
}

variable "stream" {
  description = "Whether changes of the table are streamed."
  type        = bool
  default     = false
}

variable "tracing" {
  description = "Whether X-Ray traces are kept."
  type        = bool
  default     = true
}

variable "sizes" {
  description = "Megabytes of each function."
  type = object({
    api          = optional(number, 1024)
    upload_event = optional(number, 1024)
    step_small   = optional(number, 1024)
    step_large   = optional(number, 2048)
  })
  default = {}
}

variable "upload_event_timeout" {
  description = "Seconds the intake may take for a batch of ten."
  type        = number
  default     = 300
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

variable "processed_days" {
  description = "Days after which an object that was taken in from incoming/ is gone; the image itself is kept."
  type        = number
  default     = 30
}

variable "tiering_days" {
  description = "Days after which images go to Intelligent-Tiering; 0: never."
  type        = number
  default     = 30
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

variable "log_days" {
  description = "Days for which log lines are kept."
  type        = number
  default     = 90
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
  description = "A domain of one's own, with its certificate."
  type        = object({ name = string, certificate_arn = string })
  default     = null
}

variable "trail" {
  description = "Whether CloudTrail records each read and write of images and table."
  type        = bool
  default     = false
}

variable "alarm_emails" {
  description = "Who is told of alarms; each confirms by a link that AWS sends."
  type        = list(string)
  default     = []
}

variable "quarantined_percent" {
  description = "Percent of the objects that come which may be no images, or damaged ones, before somebody is told."
  type        = number
  default     = 20
}

variable "monthly_budget" {
  description = "US dollars a month above which somebody is told; 0: no budget."
  type        = number
  default     = 0
}

variable "page" {
  description = "Whether page and API get one address by CloudFront. Not together with `domain`."
  type        = bool
  default     = false
  validation {
    condition     = !var.page || var.domain == null
    error_message = "With `domain` AWS's own address is closed, which CloudFront asks: give `page_domain` in its place."
  }
}

variable "page_domain" {
  description = "A domain of one's own for it, with a certificate of us-east-1."
  type        = object({ name = string, certificate_arn = string })
  default     = null
  validation {
    condition     = var.page_domain == null || var.page
    error_message = "It takes `page`."
  }
}

variable "web_acl_arn" {
  description = "A web ACL of AWS WAF for it. An HTTP API by itself cannot have one."
  type        = string
  default     = null
  validation {
    condition     = var.web_acl_arn == null || var.page
    error_message = "A web ACL stands before CloudFront: it takes `page`, and would fence nothing without."
  }
}

variable "vpc" {
  description = "A VPC to run in, with private subnets and their route tables; outside of any without it."
  type        = object({ id = string, subnets = list(string), route_tables = list(string) })
  default     = null
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
}
