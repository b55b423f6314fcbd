# Buckets: raw and deidentified hold images, logs what reads and writes them, packages the functions' layer.
data "aws_caller_identity" "this" {}

locals {
  account = data.aws_caller_identity.this.account_id
  images  = toset(["raw", "deidentified"])
  buckets = toset(["raw", "deidentified", "logs", "packages"])
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_144:replication to another region is an option (replicas), as it doubles what is paid for storage
  #checkov:skip=CKV2_AWS_62:events are asked for where something listens: on raw
  #checkov:skip=CKV_AWS_145:the logs bucket has S3's own keys, since S3's log delivery writes with no other in every region
  #checkov:skip=CKV_AWS_18:the logs bucket does not log into itself
  for_each            = local.buckets
  bucket              = "${var.name}-${each.key}-${local.account}"
  force_destroy       = var.force_destroy
  object_lock_enabled = contains(local.images, each.key) && var.object_lock_days > 0
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = local.buckets
  bucket   = aws_s3_bucket.this[each.key].id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = local.buckets
  bucket   = aws_s3_bucket.this[each.key].id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each                = local.buckets
  bucket                  = aws_s3_bucket.this[each.key].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = local.buckets
  bucket   = aws_s3_bucket.this[each.key].id
  rule {
    bucket_key_enabled = each.key != "logs"
    apply_server_side_encryption_by_default {
      sse_algorithm     = each.key == "logs" ? "AES256" : "aws:kms"
      kms_master_key_id = each.key == "logs" ? null : var.kms_key_arn
    }
  }
}

data "aws_iam_policy_document" "bucket" {
  for_each = local.buckets
  statement {
    sid    = "OnlyByTls"
    effect = "Deny"
    # Whatever it is and whoever asks: not in clear.
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.this[each.key].arn, "${aws_s3_bucket.this[each.key].arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
  dynamic "statement" {
    for_each = each.key == "logs" ? ["logging.s3.amazonaws.com"] : []
    content {
      sid       = "AccessLogs"
      actions   = ["s3:PutObject"]
      resources = ["${aws_s3_bucket.this[each.key].arn}/s3/*"]
      principals {
        type        = "Service"
        identifiers = [statement.value]
      }
      condition {
        test     = "StringEquals"
        variable = "aws:SourceAccount"
        values   = [local.account]
      }
    }
  }
  dynamic "statement" {
    for_each = each.key == "logs" && var.trail_arn != null ? [{ action = "s3:GetBucketAcl", below = "" }, { action = "s3:PutObject", below = "/trail/*" }] : []
    content {
      actions   = [statement.value.action]
      resources = ["${aws_s3_bucket.this[each.key].arn}${statement.value.below}"]
      principals {
        type        = "Service"
        identifiers = ["cloudtrail.amazonaws.com"]
      }
      condition {
        test     = "StringEquals"
        variable = "aws:SourceArn"
        values   = [var.trail_arn]
      }
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  for_each   = local.buckets
  bucket     = aws_s3_bucket.this[each.key].id
  policy     = data.aws_iam_policy_document.bucket[each.key].json
  depends_on = [aws_s3_bucket_public_access_block.this]
}

resource "aws_s3_bucket_logging" "this" {
  for_each      = setsubtract(local.buckets, ["logs"])
  bucket        = aws_s3_bucket.this[each.key].id
  target_bucket = aws_s3_bucket.this["logs"].id
  target_prefix = "s3/${each.key}/"
  depends_on    = [aws_s3_bucket_policy.this]
}

resource "aws_s3_bucket_notification" "raw" {
  bucket      = aws_s3_bucket.this["raw"].id
  eventbridge = true
}

resource "aws_s3_bucket_cors_configuration" "raw" {
  count  = length(var.cors_origins) > 0 ? 1 : 0
  bucket = aws_s3_bucket.this["raw"].id
  cors_rule {
    allowed_methods = ["GET", "PUT"]
    allowed_origins = var.cors_origins
    allowed_headers = ["content-type", "if-none-match", "x-amz-checksum-sha256"]
    expose_headers  = ["etag"]
    max_age_seconds = 3600
  }
}

resource "aws_s3_bucket_object_lock_configuration" "this" {
  for_each = var.object_lock_days > 0 ? local.images : toset([])
  bucket   = aws_s3_bucket.this[each.key].id
  rule {
    default_retention {
      mode = "GOVERNANCE"
      days = var.object_lock_days
    }
  }
}
