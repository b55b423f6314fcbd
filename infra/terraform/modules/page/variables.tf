variable "name" {
  description = "What the names of all resources begin with."
  type        = string
}

variable "api_host" {
  description = "Host of the HTTP API."
  type        = string
}

variable "page_paths" {
  description = "Paths that the built page lies at; all others are the API's."
  type        = list(string)
  default     = ["/index.html", "/assets/*"]
}

variable "domain" {
  description = "A domain of one's own, with a certificate of us-east-1."
  type        = object({ name = string, certificate_arn = string })
  default     = null
  validation {
    condition     = var.domain == null || can(regex("^arn:[a-z-]+:acm:us-east-1:", var.domain.certificate_arn))
    error_message = "CloudFront takes certificates of us-east-1 alone."
  }
}

variable "web_acl_arn" {
  description = "A web ACL of AWS WAF (scope CLOUDFRONT, us-east-1). An HTTP API itself cannot have one."
  type        = string
  default     = null
  validation {
    condition     = var.web_acl_arn == null || can(regex("^arn:[a-z-]+:wafv2:us-east-1:[0-9]+:global/webacl/", var.web_acl_arn))
    error_message = "CloudFront takes web ACLs of scope CLOUDFRONT alone, which lie in us-east-1."
  }
}
