# For patients' images: nothing is lost by mistake, somebody is told, and every read is recorded.
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
    key          = "isocenter/prod.tfstate"
    use_lockfile = true
    encrypt      = true
  }
}

provider "aws" {
  region = var.region
  default_tags {
    tags = { project = "isocenter", environment = "prod" }
  }
}

module "gateway" {
  source               = "../../modules/gateway"
  environment          = "prod"
  region               = var.region
  packages             = var.packages
  keep_data            = true
  oidc                 = var.oidc
  authorizer           = var.authorizer
  ocr_image            = var.ocr_image
  quarantined_percent  = var.quarantined_percent
  cors_origins         = var.cors_origins
  bulk_buckets         = var.bulk_buckets
  rekognition          = var.rekognition
  more_settings        = var.more_settings
  parameters           = var.parameters
  sizes                = { api = 1769, step_large = 3538 } # one processor, and two
  reserved_concurrency = var.reserved_concurrency
  api_provisioned      = var.api_provisioned
  snap_start           = var.snap_start
  glacier_days         = var.glacier_days
  object_lock_days     = var.object_lock_days
  replicas             = var.replicas
  domain               = var.domain
  page                 = var.page
  page_domain          = var.page_domain
  web_acl_arn          = var.web_acl_arn
  vpc                  = var.vpc
  trail                = true
  log_days             = 400
  alarm_emails         = var.alarm_emails
  monthly_budget       = var.monthly_budget
}
