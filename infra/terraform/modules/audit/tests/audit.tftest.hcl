mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name        = "isocenter-test"
  logs_bucket = "isocenter-test-logs-123456789012"
  kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  bucket_arns = ["arn:aws:s3:::raw", "arn:aws:s3:::deidentified"]
  table_arn   = "arn:aws:dynamodb:eu-central-1:123456789012:table/isocenter-test"
}

run "every_read_and_write" {
  assert {
    condition     = aws_cloudtrail.this.enable_log_file_validation && aws_cloudtrail.this.kms_key_id == var.kms_key_arn && aws_cloudtrail.this.s3_key_prefix == "trail"
    error_message = "Encrypted, and proof against changes, where the bucket's policy lets it write."
  }
  assert {
    condition     = toset(flatten([for selector in aws_cloudtrail.this.advanced_event_selector : [for field in selector.field_selector : field.starts_with if field.field == "resources.ARN"] if selector.name == "Objects"])) == toset(["arn:aws:s3:::raw/", "arn:aws:s3:::deidentified/"])
    error_message = "Objects of the buckets of images."
  }
}
