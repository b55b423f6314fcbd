variable "name" {
  description = "What the names of all resources begin with."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnets" {
  description = "Private subnets that functions and endpoints are in."
  type        = list(string)
}

variable "route_tables" {
  description = "Their route tables, which are led to S3 and DynamoDB."
  type        = list(string)
}

variable "more_services" {
  description = "Services besides that are reached inside the VPC: rekognition, ssm, xray."
  type        = list(string)
  default     = []
}
