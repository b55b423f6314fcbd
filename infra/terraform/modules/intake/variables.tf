variable "name" {
  description = "What the names of all resources begin with."
  type        = string
}

variable "bucket" {
  description = "The raw bucket's name."
  type        = string
}

variable "kms_key_id" {
  description = "Key that messages are encrypted with."
  type        = string
}

variable "function_arn" {
  description = "Alias of the function that takes in a batch."
  type        = string
}

variable "function_timeout" {
  description = "Seconds that function may take."
  type        = number
}

variable "most_received" {
  description = "How often a message is brought before it becomes a dead letter."
  type        = number
  default     = 5
}

variable "batching_seconds" {
  description = "So long a batch waits to fill."
  type        = number
  default     = 0
}

variable "most_at_once" {
  description = "How many batches are worked on at once."
  type        = number
  default     = 50
  validation {
    condition     = var.most_at_once >= 2 && var.most_at_once <= 1000
    error_message = "AWS takes 2 to 1000."
  }
}
