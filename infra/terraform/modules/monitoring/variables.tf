variable "name" {
  description = "What the names of all resources begin with."
  type        = string
}

variable "environment" {
  description = "Value of the tag `environment`, by which the budget counts."
  type        = string
}

variable "kms_key_id" {
  description = "Key that notices are encrypted with."
  type        = string
}

variable "functions" {
  description = "Names of the functions, by key."
  type        = map(string)
}

variable "log_groups" {
  description = "Their log groups."
  type        = map(string)
}

variable "machines" {
  description = "ARNs of the state machines, by plan."
  type        = map(string)
}

variable "api_id" {
  description = "Id of the HTTP API."
  type        = string
}

variable "queue_name" {
  description = "Queue of objects that were put into incoming/."
  type        = string
}

variable "dead_letters_name" {
  description = "Queue of what could not be done."
  type        = string
}

variable "service" {
  description = "What the functions count under: the name of the table."
  type        = string
}

variable "steps" {
  description = "Kinds of steps, which are counted each for itself."
  type        = list(string)
  default     = ["algorithm", "deidentify", "deliver", "validate"]
}

variable "emails" {
  description = "Who is told; each confirms by a link that AWS sends."
  type        = list(string)
  default     = []
}

variable "most_errors" {
  description = "Errors within five minutes that are borne."
  type        = number
  default     = 3
}

variable "oldest_seconds" {
  description = "How long an object may wait to be taken in."
  type        = number
  default     = 900
}

variable "p99_milliseconds" {
  description = "Latency of the API that is borne for one request in a hundred."
  type        = number
  default     = 5000
}

variable "quarantined_percent" {
  description = "Percent of the objects that come which may be no images, or damaged ones."
  type        = number
  default     = 20
  validation {
    condition     = var.quarantined_percent >= 0 && var.quarantined_percent < 100
    error_message = "0 to 99: more than 100 percent never come."
  }
}

variable "monthly_budget" {
  description = "US dollars a month above which somebody is told; 0: no budget."
  type        = number
  default     = 0
}
