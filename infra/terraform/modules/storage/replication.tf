# Copies in another region, by option: buckets there are made and paid for by whoever names them.
data "aws_iam_policy_document" "assume_replication" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["s3.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "replication" {
  for_each           = var.replicas
  name               = "${var.name}-replicate-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.assume_replication.json
}

data "aws_iam_policy_document" "replication" {
  for_each = var.replicas
  statement {
    actions   = ["s3:GetReplicationConfiguration", "s3:ListBucket"]
    resources = [aws_s3_bucket.this[each.key].arn]
  }
  statement {
    actions   = ["s3:GetObjectVersionForReplication", "s3:GetObjectVersionAcl", "s3:GetObjectVersionTagging"]
    resources = ["${aws_s3_bucket.this[each.key].arn}/*"]
  }
  statement {
    actions   = ["s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags"]
    resources = ["${each.value.bucket_arn}/*"]
  }
  statement {
    actions   = ["kms:Decrypt"]
    resources = [var.kms_key_arn]
  }
  statement {
    actions   = ["kms:Encrypt", "kms:GenerateDataKey"]
    resources = [each.value.kms_key_arn]
  }
}

resource "aws_iam_role_policy" "replication" {
  for_each = var.replicas
  name     = "replicate"
  role     = aws_iam_role.replication[each.key].id
  policy   = data.aws_iam_policy_document.replication[each.key].json
}

resource "aws_s3_bucket_replication_configuration" "this" {
  for_each = var.replicas
  bucket   = aws_s3_bucket.this[each.key].id
  role     = aws_iam_role.replication[each.key].arn
  rule {
    id     = "all"
    status = "Enabled"
    filter {
      prefix = "${each.key}/"
    }
    delete_marker_replication {
      status = "Enabled"
    }
    source_selection_criteria {
      sse_kms_encrypted_objects {
        status = "Enabled"
      }
    }
    destination {
      bucket        = each.value.bucket_arn
      storage_class = "STANDARD_IA"
      encryption_configuration {
        replica_kms_key_id = each.value.kms_key_arn
      }
    }
  }
  depends_on = [aws_s3_bucket_versioning.this]
}
