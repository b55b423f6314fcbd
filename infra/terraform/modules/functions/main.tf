# The functions: one package and one layer, each function with a role, a policy and a log group of its own.
data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

locals {
  account   = data.aws_caller_identity.this.account_id
  partition = data.aws_partition.this.partition
  region    = data.aws_region.this.name

  packages = jsondecode(file("${var.packages}/packages.json"))
  runtime  = "python${local.packages.python}"

  functions = {
    api          = { handler = "isocenter.lambdas.api.handler", memory = var.api_memory, timeout = 29 }
    upload_event = { handler = "isocenter.lambdas.upload_event.handler", memory = var.upload_event_memory, timeout = var.upload_event_timeout }
    step_small   = { handler = "isocenter.lambdas.step.handler", memory = var.step_memory.small, timeout = var.step_timeout }
    step_large   = { handler = "isocenter.lambdas.step.handler", memory = var.step_memory.large, timeout = var.step_timeout }
    bulk         = { handler = "isocenter.lambdas.bulk.handler", memory = var.upload_event_memory, timeout = 900 }
    maintenance  = { handler = "isocenter.lambdas.maintenance.handler", memory = var.maintenance_memory, timeout = 300 }
  }
  # What a bulk may be taken from; the setting says it too, so that a place that is not allowed is told by its code.
  bulk_places = concat(["s3://${local.raw_bucket}/bulk/"], [for bucket in var.bulk_buckets : "s3://${bucket}"])
  raw_bucket  = element(split(":::", var.raw_bucket_arn), 1)
  own         = { bulk = { ISOCENTER_PROCESS_URLS = jsonencode(local.bulk_places) } }

  # Those that are made of a container image; all others of the zips.
  images = var.ocr_image == null ? {} : { step_large = var.ocr_image }
  # SnapStart takes no more than 512 MB below /tmp, and matters where somebody waits.
  snapped = var.snap_start ? ["api"] : []

  names = { for key in keys(local.functions) : key => "${var.name}-${replace(key, "_", "-")}" }
}

resource "aws_s3_object" "layer" {
  bucket      = var.packages_bucket
  key         = "dependencies.zip"
  source      = "${var.packages}/dependencies.zip"
  source_hash = local.packages.layer_sha256
}

resource "aws_lambda_layer_version" "dependencies" {
  layer_name               = "${var.name}-dependencies"
  description              = "What Isocenter's functions load besides Isocenter"
  s3_bucket                = aws_s3_object.layer.bucket
  s3_key                   = aws_s3_object.layer.key
  s3_object_version        = aws_s3_object.layer.version_id
  source_code_hash         = local.packages.layer_sha256
  compatible_runtimes      = [local.runtime]
  compatible_architectures = [local.packages.architecture]
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:how long lines are kept is a variable; they hold no attribute value, and the audit log is in the table
  for_each          = local.functions
  name              = "/aws/lambda/${local.names[each.key]}"
  retention_in_days = var.log_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_117:no function reaches anything but AWS's own services; in a VPC by option
  #checkov:skip=CKV_AWS_272:code signing takes a signing profile of the account; the zips are reproducible and their hashes told
  #checkov:skip=CKV_AWS_116:only maintenance is called without being waited for, and has a dead letter queue
  #checkov:skip=CKV_AWS_115:reserved concurrency is a variable for each function
  for_each         = local.functions
  function_name    = local.names[each.key]
  description      = "Isocenter: ${replace(each.key, "_", " ")}"
  role             = aws_iam_role.this[each.key].arn
  architectures    = [local.packages.architecture]
  package_type     = contains(keys(local.images), each.key) ? "Image" : "Zip"
  image_uri        = lookup(local.images, each.key, null)
  runtime          = contains(keys(local.images), each.key) ? null : local.runtime
  handler          = contains(keys(local.images), each.key) ? null : each.value.handler
  filename         = contains(keys(local.images), each.key) ? null : "${var.packages}/isocenter.zip"
  source_code_hash = contains(keys(local.images), each.key) ? null : local.packages.code_sha256
  layers           = contains(keys(local.images), each.key) ? [] : [aws_lambda_layer_version.dependencies.arn]
  timeout          = each.value.timeout
  memory_size      = each.value.memory
  publish          = true
  kms_key_arn      = var.kms_key_arn

  reserved_concurrent_executions = lookup(var.reserved_concurrency, each.key, -1)

  ephemeral_storage {
    size = each.key == "api" ? 512 : var.temporary_megabytes
  }

  tracing_config {
    mode = var.tracing ? "Active" : "PassThrough"
  }

  logging_config {
    log_format = "Text" # our lines are JSON already
    log_group  = aws_cloudwatch_log_group.this[each.key].name
  }

  environment {
    variables = merge(var.environment, var.more_environment, lookup(local.own, each.key, {}))
  }

  dynamic "dead_letter_config" {
    for_each = each.key == "maintenance" ? [var.dead_letters_arn] : []
    content {
      target_arn = dead_letter_config.value
    }
  }

  dynamic "snap_start" {
    for_each = contains(local.snapped, each.key) ? ["PublishedVersions"] : []
    content {
      apply_on = snap_start.value
    }
  }

  dynamic "vpc_config" {
    for_each = var.network == null ? [] : [var.network]
    content {
      subnet_ids         = vpc_config.value.subnets
      security_group_ids = vpc_config.value.security_groups
    }
  }

  lifecycle {
    precondition {
      condition     = !var.snap_start || tonumber(split(".", local.packages.python)[1]) >= 12
      error_message = "SnapStart takes packages for Python 3.12 at least: make lambda PYTHON_VERSION=3.12"
    }
    precondition {
      condition     = local.packages.code_unzipped + local.packages.layer_unzipped <= 262144000
      error_message = "The packages are larger than AWS Lambda takes."
    }
  }

  depends_on = [aws_iam_role_policy.this]
}

# What calls a function calls its alias: a new version is there as a whole or not at all.
resource "aws_lambda_alias" "live" {
  for_each         = local.functions
  name             = "live"
  function_name    = aws_lambda_function.this[each.key].function_name
  function_version = aws_lambda_function.this[each.key].version
}

resource "aws_lambda_provisioned_concurrency_config" "api" {
  count                             = var.api_provisioned > 0 ? 1 : 0
  function_name                     = aws_lambda_function.this["api"].function_name
  qualifier                         = aws_lambda_alias.live["api"].name
  provisioned_concurrent_executions = var.api_provisioned
}

# A warning, as what AWS is not may well have the runtime that the packages are for.
check "glibc" {
  assert {
    condition     = local.packages.glibc <= local.packages.glibc_of_runtime
    error_message = "These packages do not load on AWS Lambda: its ${local.runtime} has glibc 2.${local.packages.glibc_of_runtime}, and they take 2.${local.packages.glibc}. make lambda PYTHON_VERSION=3.12"
  }
}
