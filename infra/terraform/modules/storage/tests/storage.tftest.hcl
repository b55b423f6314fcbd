mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name        = "isocenter-test"
  kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
}

run "as_it_is_without_options" {
  assert {
    condition     = alltrue([for bucket in aws_s3_bucket.this : !bucket.force_destroy && !bucket.object_lock_enabled])
    error_message = "Nothing is destroyed with what it holds, and nothing locked, unless asked for."
  }
  assert {
    condition     = length(aws_s3_bucket_object_lock_configuration.this) == 0 && length(aws_s3_bucket_replication_configuration.this) == 0 && length(aws_s3_bucket_cors_configuration.raw) == 0
    error_message = "No lock, no copies, no browsers."
  }
  assert {
    condition     = alltrue([for block in aws_s3_bucket_public_access_block.this : block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets])
    error_message = "No bucket is public."
  }
  assert {
    condition     = toset([for rule in aws_s3_bucket_lifecycle_configuration.images["raw"].rule : rule.id if startswith(rule.id, "kept-")]) == toset(["kept-intelligent-tiering"])
    error_message = "Images become cheaper after a month, and stay at hand."
  }
  assert {
    condition     = !anytrue([for rule in aws_s3_bucket_lifecycle_configuration.images["raw"].rule : length(rule.expiration) > 0 && rule.filter[0].prefix == "raw/"])
    error_message = "No image ends by itself."
  }
  assert {
    condition     = length([for statement in data.aws_iam_policy_document.bucket["logs"].statement : statement if statement.effect != "Deny"]) == 1
    error_message = "S3's log delivery alone writes logs."
  }
}

run "object_lock" {
  variables {
    object_lock_days = 365
  }
  assert {
    condition     = toset([for name, bucket in aws_s3_bucket.this : name if bucket.object_lock_enabled]) == toset(["raw", "deidentified"])
    error_message = "Images are locked; logs and packages are not."
  }
  assert {
    condition     = toset(keys(aws_s3_bucket_object_lock_configuration.this)) == toset(["raw", "deidentified"]) && aws_s3_bucket_object_lock_configuration.this["raw"].rule[0].default_retention[0].days == 365
    error_message = "For as long as was asked."
  }
}

run "replicas" {
  variables {
    replicas = { deidentified = { bucket_arn = "arn:aws:s3:::copies", kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555" } }
  }
  assert {
    condition     = toset(keys(aws_s3_bucket_replication_configuration.this)) == toset(["deidentified"])
    error_message = "Only what was named is copied."
  }
  assert {
    condition     = one([for rule in aws_s3_bucket_replication_configuration.this["deidentified"].rule : rule.destination[0].bucket]) == "arn:aws:s3:::copies"
    error_message = "To where was said."
  }
  assert {
    condition     = one([for rule in aws_s3_bucket_replication_configuration.this["deidentified"].rule : rule.destination[0].encryption_configuration[0].replica_kms_key_id]) == var.replicas.deidentified.kms_key_arn
    error_message = "Encrypted with the key there."
  }
  assert {
    condition     = one([for rule in aws_s3_bucket_replication_configuration.this["deidentified"].rule : rule.source_selection_criteria[0].sse_kms_encrypted_objects[0].status]) == "Enabled"
    error_message = "Without it, S3 passes encrypted objects over."
  }
  assert {
    condition     = toset(flatten([for statement in data.aws_iam_policy_document.replication["deidentified"].statement : tolist(statement.actions)])) == toset(["s3:GetReplicationConfiguration", "s3:ListBucket", "s3:GetObjectVersionForReplication", "s3:GetObjectVersionAcl", "s3:GetObjectVersionTagging", "s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags", "kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"])
    error_message = "The role copies, and does nothing else."
  }
}

run "glacier_and_no_tiering" {
  variables {
    tiering_days = 0
    glacier_days = 180
  }
  assert {
    condition     = toset([for rule in aws_s3_bucket_lifecycle_configuration.images["deidentified"].rule : rule.id if startswith(rule.id, "kept-")]) == toset(["kept-glacier"])
    error_message = "Only what was asked for."
  }
}

run "a_trail_writes_logs" {
  variables {
    trail_arn = "arn:aws:cloudtrail:eu-central-1:123456789012:trail/isocenter-test"
  }
  assert {
    condition     = length([for statement in data.aws_iam_policy_document.bucket["logs"].statement : statement if statement.effect != "Deny"]) == 3
    error_message = "The trail may see the bucket's list of rights, and write below trail/."
  }
  assert {
    condition     = length([for statement in data.aws_iam_policy_document.bucket["raw"].statement : statement if statement.effect != "Deny"]) == 0
    error_message = "Nobody else is let into a bucket of images by its policy."
  }
}

run "browsers_and_destruction" {
  variables {
    cors_origins  = ["https://viewer.example.org"]
    force_destroy = true
  }
  assert {
    condition     = one(aws_s3_bucket_cors_configuration.raw[0].cors_rule).allowed_origins == toset(["https://viewer.example.org"])
    error_message = "The origins that were named."
  }
  assert {
    condition     = alltrue([for bucket in aws_s3_bucket.this : bucket.force_destroy])
    error_message = "Where asked for, all goes."
  }
}

run "days_below_zero" {
  command = plan
  variables {
    tiering_days = -1
  }
  expect_failures = [var.tiering_days]
}

run "glacier_too_soon" {
  command = plan
  variables {
    glacier_days = 30
  }
  expect_failures = [var.glacier_days]
}

run "a_lock_into_the_past" {
  command = plan
  variables {
    object_lock_days = -1
  }
  expect_failures = [var.object_lock_days]
}

run "a_copy_of_logs" {
  command = plan
  variables {
    replicas = { logs = { bucket_arn = "arn:aws:s3:::copies", kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/1" } }
  }
  expect_failures = [var.replicas]
}
