# All of Isocenter on AWS: the modules, put together. An environment says sizes and options.
data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}

locals {
  name = "isocenter-${var.environment}"
  # By name, as the bucket's policy names the trail and the trail the bucket.
  trail_arn      = "arn:${data.aws_partition.this.partition}:cloudtrail:${var.region}:${data.aws_caller_identity.this.account_id}:trail/${local.name}"
  secrets_prefix = "${local.name}/"
  auth = var.oidc == null ? { ISOCENTER_AUTH = "keys" } : {
    ISOCENTER_AUTH              = "keys+oidc"
    ISOCENTER_OIDC_ISSUER       = var.oidc.issuer
    ISOCENTER_OIDC_AUDIENCE     = var.oidc.audience
    ISOCENTER_OIDC_SCOPE_PREFIX = var.oidc.scope_prefix
  }
  settings = merge(local.auth, {
    ISOCENTER_HOME              = "/tmp/isocenter"
    ISOCENTER_HOST              = "127.0.0.1"
    ISOCENTER_LOG_LEVEL         = var.log_level
    ISOCENTER_DATABASE_URL      = "dynamodb://${module.index.name}"
    ISOCENTER_BLOBS_URL         = "s3://${module.storage.buckets.raw}"
    ISOCENTER_BLOBS_URLS        = jsonencode({ deidentified = "s3://${module.storage.buckets.deidentified}" })
    ISOCENTER_SECRETS_PREFIX    = local.secrets_prefix
    ISOCENTER_STATE_MACHINES    = jsonencode(module.workflow.arns)
    ISOCENTER_INCOMING_URL      = "s3://${module.storage.buckets.raw}"
    ISOCENTER_INCOMING_PIPELINE = var.incoming_pipeline
    ISOCENTER_UPLOAD_LINKS      = "presigned"
    ISOCENTER_DELIVERY_LINKS    = "presigned"
    ISOCENTER_CORS_ORIGINS      = jsonencode(var.cors_origins)
    },
    var.rekognition ? {
      ISOCENTER_LABELS_DETECTOR    = "rekognition"
      ISOCENTER_TEXT_DETECTOR      = "rekognition" # no package with an OCR engine fits into a function
      ISOCENTER_REKOGNITION_REGION = var.region
    } : {},
    var.parameters == null ? {} : { ISOCENTER_PARAMETERS = var.parameters },
    # S3 takes nothing into a bucket with a retention that comes without a checksum.
    var.object_lock_days == 0 ? {} : { ISOCENTER_BLOBS_OPTIONS = jsonencode({ checksum_algorithm = "sha256" }) },
  )
}

module "key" {
  source        = "../key"
  name          = local.name
  deletion_days = var.keep_data ? 30 : 7
  trail         = var.trail
}

module "storage" {
  source           = "../storage"
  name             = local.name
  kms_key_arn      = module.key.arn
  force_destroy    = !var.keep_data
  cors_origins     = var.cors_origins
  processed_days   = var.processed_days
  tiering_days     = var.tiering_days
  glacier_days     = var.glacier_days
  object_lock_days = var.object_lock_days
  replicas         = var.replicas
  trail_arn        = var.trail ? local.trail_arn : null
}

module "index" {
  source              = "../index"
  name                = local.name
  kms_key_arn         = module.key.arn
  deletion_protection = var.keep_data
  stream              = var.stream
}

module "functions" {
  source                  = "../functions"
  name                    = local.name
  packages                = var.packages
  packages_bucket         = module.storage.buckets.packages
  environment             = local.settings
  more_environment        = var.more_settings
  kms_key_arn             = module.key.arn
  table_arn               = module.index.arn
  raw_bucket_arn          = module.storage.arns.raw
  deidentified_bucket_arn = module.storage.arns.deidentified
  bulk_buckets            = var.bulk_buckets
  queue_arn               = module.intake.queue_arn
  dead_letters_arn        = module.intake.dead_letters_arn
  machine_arns            = module.workflow.arns
  secrets_prefix          = local.secrets_prefix
  parameters              = var.parameters
  rekognition             = var.rekognition
  tracing                 = var.tracing
  api_memory              = var.sizes.api
  upload_event_memory     = var.sizes.upload_event
  step_memory             = { small = var.sizes.step_small, large = var.sizes.step_large }
  upload_event_timeout    = var.upload_event_timeout
  reserved_concurrency    = var.reserved_concurrency
  api_provisioned         = var.api_provisioned
  snap_start              = var.snap_start
  ocr_image               = var.ocr_image
  network                 = var.vpc == null ? null : module.network[0].network
  log_days                = var.log_days
}

module "intake" {
  source           = "../intake"
  name             = local.name
  bucket           = module.storage.buckets.raw
  kms_key_id       = module.key.id
  function_arn     = module.functions.aliases.upload_event
  function_timeout = var.upload_event_timeout
  # More batches than the function may take would be throttled until their objects are dead letters.
  most_at_once = min(50, lookup(var.reserved_concurrency, "upload_event", 50))
}

module "workflow" {
  source         = "../workflow"
  name           = local.name
  step_functions = { small = module.functions.aliases.step_small, large = module.functions.aliases.step_large }
  small          = var.small_plans
  bulk_function  = module.functions.aliases.bulk
  raw_bucket_arn = module.storage.arns.raw
  kms_key_arn    = module.key.arn
  tracing        = var.tracing
  log_days       = var.log_days
}

module "api" {
  source        = "../api"
  name          = local.name
  function_name = module.functions.names.api
  invoke_arn    = module.functions.api_invoke_arn
  kms_key_arn   = module.key.arn
  jwt           = var.oidc == null || !var.authorizer ? null : { issuer = var.oidc.issuer, audience = [var.oidc.audience] }
  cors_origins  = var.cors_origins
  rate          = var.rate
  burst         = var.burst
  domain        = var.domain
  log_days      = var.log_days
}

module "monitoring" {
  source              = "../monitoring"
  name                = local.name
  environment         = var.environment
  kms_key_id          = module.key.id
  functions           = module.functions.names
  log_groups          = module.functions.log_groups
  machines            = merge(module.workflow.arns, { bulk = module.workflow.bulk_arn })
  api_id              = module.api.id
  queue_name          = module.intake.queue_name
  dead_letters_name   = module.intake.dead_letters_name
  service             = module.index.name
  emails              = var.alarm_emails
  quarantined_percent = var.quarantined_percent
  monthly_budget      = var.monthly_budget
}

module "audit" {
  count       = var.trail ? 1 : 0
  source      = "../audit"
  name        = local.name
  logs_bucket = module.storage.buckets.logs
  kms_key_arn = module.key.arn
  bucket_arns = [module.storage.arns.raw, module.storage.arns.deidentified]
  table_arn   = module.index.arn
}

module "page" {
  count       = var.page ? 1 : 0
  source      = "../page"
  name        = local.name
  api_host    = module.api.execute_host
  domain      = var.page_domain
  web_acl_arn = var.web_acl_arn
}

module "network" {
  count         = var.vpc == null ? 0 : 1
  source        = "../network"
  name          = local.name
  vpc_id        = var.vpc.id
  subnets       = var.vpc.subnets
  route_tables  = var.vpc.route_tables
  more_services = concat(var.rekognition ? ["rekognition"] : [], var.parameters == null ? [] : ["ssm"], var.tracing ? ["xray"] : [])
}
