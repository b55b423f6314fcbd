# One address for page and API: CloudFront gives the built page from a bucket, and asks the API for everything else.
data "aws_caller_identity" "this" {}

locals {
  bucket = "${var.name}-page-${data.aws_caller_identity.this.account_id}"
}

resource "aws_s3_bucket" "page" {
  #checkov:skip=CKV_AWS_18:it holds the built page alone, which is public; CloudFront is logged where it is asked for
  #checkov:skip=CKV_AWS_144:it is made anew from the repository
  #checkov:skip=CKV_AWS_145:nothing in it is secret
  #checkov:skip=CKV2_AWS_61:nothing in it ends by itself
  #checkov:skip=CKV2_AWS_62:nothing listens to it
  bucket        = local.bucket
  force_destroy = true
}

resource "aws_s3_bucket_versioning" "page" {
  bucket = aws_s3_bucket.page.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_public_access_block" "page" {
  bucket                  = aws_s3_bucket.page.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "page" {
  bucket = aws_s3_bucket.page.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

data "aws_iam_policy_document" "page" {
  statement {
    sid       = "TheDistributionReads"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.page.arn}/*"]
    principals {
      type        = "Service"
      identifiers = ["cloudfront.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceArn"
      values   = [aws_cloudfront_distribution.this.arn]
    }
  }
  statement {
    sid    = "OnlyByTls"
    effect = "Deny"
    # Whatever it is and whoever asks: not in clear.
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.page.arn, "${aws_s3_bucket.page.arn}/*"]
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
}

resource "aws_s3_bucket_policy" "page" {
  bucket     = aws_s3_bucket.page.id
  policy     = data.aws_iam_policy_document.page.json
  depends_on = [aws_s3_bucket_public_access_block.page]
}

resource "aws_cloudfront_origin_access_control" "page" {
  name                              = var.name
  origin_access_control_origin_type = "s3"
  signing_behavior                  = "always"
  signing_protocol                  = "sigv4"
}

resource "aws_cloudfront_response_headers_policy" "page" {
  #checkov:skip=CKV_AWS_259:preloading would bind every host of the domain, which is not ours to decide
  name = var.name
  security_headers_config {
    content_type_options {
      override = false
    }
    frame_options {
      frame_option = "DENY"
      override     = false
    }
    referrer_policy {
      referrer_policy = "no-referrer"
      override        = false
    }
    strict_transport_security {
      access_control_max_age_sec = 31536000
      include_subdomains         = true
      override                   = true
    }
  }
}

# AWS's own: what is built carries its hash in its name; an answer of the API is never kept.
data "aws_cloudfront_cache_policy" "optimized" {
  name = "Managed-CachingOptimized"
}

data "aws_cloudfront_cache_policy" "disabled" {
  name = "Managed-CachingDisabled"
}

data "aws_cloudfront_origin_request_policy" "all" {
  name = "Managed-AllViewerExceptHostHeader"
}

resource "aws_cloudfront_distribution" "this" {
  #checkov:skip=CKV_AWS_68:a web ACL is an option (web_acl_arn)
  #checkov:skip=CKV2_AWS_47:a web ACL, with whatever rules, is an option (web_acl_arn)
  #checkov:skip=CKV_AWS_310:one API, in one region
  #checkov:skip=CKV_AWS_374:who may come in is not told by country
  #checkov:skip=CKV_AWS_86:addresses hold identifiers, so CloudFront keeps no log of them; the API keeps its own
  #checkov:skip=CKV_AWS_174:with CloudFront's own certificate AWS decides the oldest TLS
  #checkov:skip=CKV2_AWS_42:a certificate of one's own is an option (domain)
  enabled             = true
  comment             = var.name
  default_root_object = "index.html"
  http_version        = "http2and3"
  price_class         = "PriceClass_100"
  aliases             = var.domain == null ? [] : [var.domain.name]
  web_acl_id          = var.web_acl_arn

  origin {
    origin_id                = "page"
    domain_name              = aws_s3_bucket.page.bucket_regional_domain_name
    origin_access_control_id = aws_cloudfront_origin_access_control.page.id
  }

  origin {
    origin_id   = "api"
    domain_name = var.api_host
    custom_origin_config {
      http_port              = 80
      https_port             = 443
      origin_protocol_policy = "https-only"
      origin_ssl_protocols   = ["TLSv1.2"]
    }
  }

  default_cache_behavior {
    target_origin_id           = "api"
    viewer_protocol_policy     = "redirect-to-https"
    allowed_methods            = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"]
    cached_methods             = ["GET", "HEAD"]
    cache_policy_id            = data.aws_cloudfront_cache_policy.disabled.id
    origin_request_policy_id   = data.aws_cloudfront_origin_request_policy.all.id
    response_headers_policy_id = aws_cloudfront_response_headers_policy.page.id
  }

  dynamic "ordered_cache_behavior" {
    for_each = var.page_paths
    content {
      path_pattern               = ordered_cache_behavior.value
      target_origin_id           = "page"
      viewer_protocol_policy     = "redirect-to-https"
      allowed_methods            = ["GET", "HEAD"]
      cached_methods             = ["GET", "HEAD"]
      compress                   = true
      cache_policy_id            = data.aws_cloudfront_cache_policy.optimized.id
      response_headers_policy_id = aws_cloudfront_response_headers_policy.page.id
    }
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }

  viewer_certificate {
    cloudfront_default_certificate = var.domain == null
    acm_certificate_arn            = var.domain == null ? null : var.domain.certificate_arn
    ssl_support_method             = var.domain == null ? null : "sni-only"
    minimum_protocol_version       = var.domain == null ? "TLSv1" : "TLSv1.2_2021"
  }
}
