output "buckets" {
  description = "Names of the buckets: raw, deidentified, logs, packages."
  value       = { for key, bucket in aws_s3_bucket.this : key => bucket.id }
  depends_on  = [aws_s3_bucket_policy.this, aws_s3_bucket_versioning.this, aws_s3_bucket_server_side_encryption_configuration.this]
}

output "arns" {
  description = "Their ARNs."
  value       = { for key, bucket in aws_s3_bucket.this : key => bucket.arn }
}
