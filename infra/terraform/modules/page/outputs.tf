output "url" {
  description = "Where page and API answer."
  value       = "https://${var.domain == null ? aws_cloudfront_distribution.this.domain_name : var.domain.name}"
}

output "bucket" {
  description = "Bucket that the built page is put into."
  value       = aws_s3_bucket.page.id
}

output "distribution" {
  description = "Id of the distribution, to have it forget what it kept."
  value       = aws_cloudfront_distribution.this.id
}
