# For trying out: small, and destroyed with everything in it.
terraform {
  required_version = ">= 1.10"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
  # The bucket is told by `terraform init -backend-config=bucket=...`, as deploy.sh does.
  backend "s3" {
    key          = "isocenter/dev.tfstate"
    use_lockfile = true
    encrypt      = true
  }
}

provider "aws" {
  region = var.region
  default_tags {
    tags = { project = "isocenter", environment = "dev" }
  }
}

module "gateway" {
  source         = "../../modules/gateway"
  environment    = "dev"
  region         = var.region
  packages       = var.packages
  keep_data      = false
  oidc           = var.oidc
  cors_origins   = var.cors_origins
  bulk_buckets   = var.bulk_buckets
  rekognition    = var.rekognition
  more_settings  = var.more_settings
  log_level      = "debug"
  log_days       = 14
  alarm_emails   = var.alarm_emails
  monthly_budget = var.monthly_budget
}
