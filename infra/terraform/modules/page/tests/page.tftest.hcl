mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name     = "isocenter-test"
  api_host = "abcdef.execute-api.eu-central-1.amazonaws.com"
}

run "by_cloudfront_alone" {
  assert {
    condition     = aws_cloudfront_distribution.this.default_cache_behavior[0].target_origin_id == "api" && toset([for path in aws_cloudfront_distribution.this.ordered_cache_behavior : path.path_pattern]) == toset(["/index.html", "/assets/*"])
    error_message = "The page by its paths, all else from the API."
  }
  assert {
    condition     = alltrue([for path in aws_cloudfront_distribution.this.ordered_cache_behavior : path.target_origin_id == "page"])
    error_message = "The page lies in its bucket."
  }
  assert {
    condition     = one([for origin in aws_cloudfront_distribution.this.origin : origin.domain_name if origin.origin_id == "api"]) == var.api_host
    error_message = "The API is asked where it answers."
  }
  assert {
    condition     = one([for origin in aws_cloudfront_distribution.this.origin : one(origin.custom_origin_config).origin_protocol_policy if origin.origin_id == "api"]) == "https-only"
    error_message = "By TLS."
  }
  assert {
    condition     = output.url == "https://d111111abcdef8.cloudfront.net" && length(coalesce(aws_cloudfront_distribution.this.aliases, [])) == 0
    error_message = "CloudFront's own address."
  }
  assert {
    condition     = coalesce(aws_cloudfront_distribution.this.web_acl_id, "none") == "none"
    error_message = "No web ACL unless one is named."
  }
}

run "a_domain_and_a_web_acl" {
  variables {
    domain      = { name = "images.example.org", certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/11111111-2222-3333-4444-555555555555" }
    web_acl_arn = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/fence/11111111-2222-3333-4444-555555555555"
  }
  assert {
    condition     = aws_cloudfront_distribution.this.web_acl_id == var.web_acl_arn
    error_message = "The web ACL stands in front."
  }
  assert {
    condition     = aws_cloudfront_distribution.this.aliases == toset(["images.example.org"]) && output.url == "https://images.example.org"
    error_message = "The domain answers."
  }
  assert {
    condition     = aws_cloudfront_distribution.this.viewer_certificate[0].acm_certificate_arn == var.domain.certificate_arn && aws_cloudfront_distribution.this.viewer_certificate[0].minimum_protocol_version == "TLSv1.2_2021" && !aws_cloudfront_distribution.this.viewer_certificate[0].cloudfront_default_certificate
    error_message = "By its certificate, TLS 1.2 at least."
  }
}

run "a_certificate_of_another_region" {
  command = plan
  variables {
    domain = { name = "images.example.org", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/11111111-2222-3333-4444-555555555555" }
  }
  expect_failures = [var.domain]
}

run "a_regional_web_acl" {
  command = plan
  variables {
    web_acl_arn = "arn:aws:wafv2:eu-central-1:123456789012:regional/webacl/fence/11111111-2222-3333-4444-555555555555"
  }
  expect_failures = [var.web_acl_arn]
}
