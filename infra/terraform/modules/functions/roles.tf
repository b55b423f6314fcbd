# What each function may do: what it does, on what is ours, and no more.
data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "this" {
  for_each           = local.functions
  name               = local.names[each.key]
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

locals {
  machine_names = [for arn in values(var.machine_arns) : element(split(":", arn), 6)]
  # An execution's ARN has the machine's name in it; the names of executions are jobs'.
  executions = [for name in local.machine_names : "arn:${local.partition}:states:${local.region}:${local.account}:execution:${name}:*"]
  secrets    = "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:${var.secrets_prefix}*"

  # Who starts and stops jobs. A step starts what follows, and stops a job that it fails.
  start_jobs = ["api", "upload_event", "bulk", "step_small", "step_large", "maintenance"]
  stop_jobs  = ["api", "step_small", "step_large"]
  # Nothing but de-identification, deliveries, reading and deleting touches the deidentified bucket.
  use_deidentified = ["api", "step_small", "step_large", "maintenance"]
  # Stores whose images lie in the raw bucket, as settings name them; a store's keys begin with its name.
  stores = [for name in jsondecode(lookup(var.more_environment, "ISOCENTER_STORES", "[\"raw\", \"deidentified\"]")) : name if name != "deidentified"]
  # What else each works on in the raw bucket, by what keys begin with. None reads or writes what is another's.
  works_on = {
    api          = ["uploads", "answers"]
    upload_event = ["incoming", "claimed", "processed", "quarantine"]
    step_small   = []
    step_large   = []
    bulk         = ["bulk-state"]
    maintenance  = ["uploads"]
  }
  objects = { for key, prefixes in local.works_on : key => concat(
    [for prefix in concat(local.stores, prefixes) : "${var.raw_bucket_arn}/${prefix}/*"],
    contains(local.use_deidentified, key) ? ["${var.deidentified_bucket_arn}/deidentified/*"] : [],
  ) }
  look_at_images = var.rekognition ? ["api", "step_small", "step_large"] : []
}

data "aws_iam_policy_document" "this" {
  #checkov:skip=CKV_AWS_356:Resource * only where AWS knows no other, each with its reason beside it
  #checkov:skip=CKV_AWS_111:writes without a resource are only those that AWS knows no resource for
  for_each = local.functions

  statement {
    sid       = "OwnLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this[each.key].arn}:*"]
  }

  statement {
    sid = "Table"
    # No Scan: nothing looks through the whole table.
    actions = [
      "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchGetItem",
      "dynamodb:BatchWriteItem", "dynamodb:Query", "dynamodb:ConditionCheckItem",
    ]
    resources = [var.table_arn]
  }

  statement {
    sid       = "ImagesByKey"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    resources = local.objects[each.key]
  }

  dynamic "statement" {
    for_each = each.key == "bulk" ? [1] : []
    content {
      sid       = "WhatIsPutForBulks"
      actions   = ["s3:GetObject"]
      resources = ["${var.raw_bucket_arn}/bulk/*"]
    }
  }

  statement {
    sid = "ImagesListed"
    # The whole bucket: without it S3 says of a key that is not there that it is forbidden. Keys tell nothing of images.
    actions   = ["s3:ListBucket"]
    resources = concat([var.raw_bucket_arn], contains(local.use_deidentified, each.key) ? [var.deidentified_bucket_arn] : [])
  }

  dynamic "statement" {
    for_each = each.key == "bulk" && length(var.bulk_buckets) > 0 ? [1] : []
    content {
      sid       = "WhatAManifestNames"
      actions   = ["s3:GetObject"]
      resources = [for bucket in var.bulk_buckets : "arn:${local.partition}:s3:::${bucket}/*"]
    }
  }

  dynamic "statement" {
    for_each = each.key == "bulk" && length(var.bulk_buckets) > 0 ? [1] : []
    content {
      sid       = "WhetherItIsThere" # without it, S3 says of an object that is not there that it is forbidden
      actions   = ["s3:ListBucket"]
      resources = [for bucket in var.bulk_buckets : "arn:${local.partition}:s3:::${bucket}"]
    }
  }

  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.kms_key_arn]
  }

  statement {
    sid = "Secrets"
    actions = concat(
      ["secretsmanager:CreateSecret", "secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue", "secretsmanager:DescribeSecret"],
      contains(["api", "maintenance"], each.key) ? ["secretsmanager:DeleteSecret"] : [],
    )
    resources = [local.secrets]
  }

  statement {
    sid = "SecretsListed"
    # ListSecrets knows no resource; what it tells are names, not values.
    actions   = ["secretsmanager:ListSecrets"]
    resources = ["*"]
  }

  dynamic "statement" {
    for_each = contains(local.start_jobs, each.key) && length(var.machine_arns) > 0 ? [1] : []
    content {
      sid       = "JobsStarted"
      actions   = ["states:StartExecution"]
      resources = values(var.machine_arns)
    }
  }

  dynamic "statement" {
    for_each = contains(local.stop_jobs, each.key) && length(var.machine_arns) > 0 ? [1] : []
    content {
      sid       = "JobsStopped"
      actions   = ["states:StopExecution"]
      resources = local.executions
    }
  }

  dynamic "statement" {
    for_each = each.key == "upload_event" ? [1] : []
    content {
      sid       = "Queue"
      actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"]
      resources = [var.queue_arn]
    }
  }

  dynamic "statement" {
    for_each = each.key == "maintenance" ? [1] : []
    content {
      sid       = "DeadLetters"
      actions   = ["sqs:SendMessage"]
      resources = [var.dead_letters_arn]
    }
  }

  dynamic "statement" {
    for_each = var.parameters == null ? [] : [var.parameters]
    content {
      sid       = "Settings"
      actions   = ["ssm:GetParametersByPath"]
      resources = ["arn:${local.partition}:ssm:${local.region}:${local.account}:parameter${statement.value}", "arn:${local.partition}:ssm:${local.region}:${local.account}:parameter${statement.value}/*"]
    }
  }

  dynamic "statement" {
    for_each = contains(local.look_at_images, each.key) ? [1] : []
    content {
      sid = "Rekognition"
      # Both take the picture itself and know no resource.
      actions   = ["rekognition:DetectLabels", "rekognition:DetectText"]
      resources = ["*"]
    }
  }

  dynamic "statement" {
    for_each = var.tracing ? [1] : []
    content {
      sid = "Traces"
      # X-Ray's writes know no resource.
      actions   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
      resources = ["*"]
    }
  }

  dynamic "statement" {
    for_each = var.network == null ? [] : [1]
    content {
      sid = "Network"
      # Lambda makes and takes away network interfaces in the role's name; those calls know no resource beforehand.
      actions   = ["ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"]
      resources = ["*"]
    }
  }
}

resource "aws_iam_role_policy" "this" {
  for_each = local.functions
  name     = "what-it-does"
  role     = aws_iam_role.this[each.key].id
  policy   = data.aws_iam_policy_document.this[each.key].json
}
