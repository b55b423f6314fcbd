# One key for everything that holds or may hold an image, a record or a log line.
data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

locals {
  account = data.aws_caller_identity.this.account_id
  arn     = "arn:${data.aws_partition.this.partition}"
  region  = data.aws_region.this.name
}

data "aws_iam_policy_document" "key" {
  #checkov:skip=CKV_AWS_109:a key's own policy; Resource * means this key alone, and the account must stay able to administer it
  #checkov:skip=CKV_AWS_111:a key's own policy; Resource * means this key alone
  #checkov:skip=CKV_AWS_356:a key's own policy; Resource * means this key alone
  statement {
    sid = "TheAccountGrantsByItsOwnPolicies"
    # kms:* for the account itself, as AWS's default policy has it: without, a key can become unmanageable.
    actions   = ["kms:*"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["${local.arn}:iam::${local.account}:root"]
    }
  }
  statement {
    sid       = "LogGroupsOfThisName"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:DescribeKey"]
    resources = ["*"]
    principals {
      type        = "Service"
      identifiers = ["logs.${local.region}.amazonaws.com"]
    }
    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = ["${local.arn}:logs:${local.region}:${local.account}:log-group:*${var.name}*"]
    }
  }
  statement {
    sid       = "EventsAndAlarmsIntoQueuesAndTopics"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = ["*"]
    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com", "cloudwatch.amazonaws.com", "budgets.amazonaws.com", "scheduler.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
  dynamic "statement" {
    for_each = var.trail ? ["cloudtrail.amazonaws.com"] : []
    content {
      sid       = "TheTrailWritesEncrypted"
      actions   = ["kms:GenerateDataKey", "kms:DescribeKey"]
      resources = ["*"]
      principals {
        type        = "Service"
        identifiers = [statement.value]
      }
      condition {
        test     = "StringEquals"
        variable = "aws:SourceArn"
        values   = ["${local.arn}:cloudtrail:${local.region}:${local.account}:trail/${var.name}"]
      }
    }
  }
}

resource "aws_kms_key" "this" {
  description             = "Images, records and logs of ${var.name}"
  enable_key_rotation     = true
  deletion_window_in_days = var.deletion_days
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}
