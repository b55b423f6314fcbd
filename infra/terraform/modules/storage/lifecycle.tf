# What is kept for good, what ends by itself, and what becomes cheaper with time.
locals {
  # Work that is over, by what the keys in the raw bucket begin with. Quarantine stays until somebody looked at it.
  ending = {
    "processed/"  = var.processed_days
    "claimed/"    = 7
    "uploads/"    = 7
    "answers/"    = 1
    "bulk-state/" = 90
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "images" {
  for_each = local.images
  bucket   = aws_s3_bucket.this[each.key].id

  rule {
    id     = "parts-that-were-given-up"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }

  rule {
    id     = "what-was-deleted"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration {
      noncurrent_days = var.deleted_days
    }
    expiration {
      expired_object_delete_marker = true
    }
  }

  dynamic "rule" {
    for_each = each.key == "raw" ? local.ending : {}
    content {
      id     = "ended-${trimsuffix(rule.key, "/")}"
      status = "Enabled"
      filter {
        prefix = rule.key
      }
      expiration {
        days = rule.value
      }
    }
  }

  dynamic "rule" {
    for_each = { for class, days in { INTELLIGENT_TIERING = var.tiering_days, GLACIER = var.glacier_days } : class => days if days > 0 }
    content {
      id     = "kept-${lower(replace(rule.key, "_", "-"))}"
      status = "Enabled"
      filter {
        prefix = "${each.key}/"
      }
      transition {
        days          = rule.value
        storage_class = rule.key
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_lifecycle_configuration" "others" {
  for_each = toset(["logs", "packages"])
  bucket   = aws_s3_bucket.this[each.key].id

  rule {
    id     = "old"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
    noncurrent_version_expiration {
      noncurrent_days = 90
    }
    dynamic "expiration" {
      for_each = each.key == "logs" ? [var.log_days] : []
      content {
        days = expiration.value
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}
