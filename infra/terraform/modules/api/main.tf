# The HTTP API in front of the function `api`: every path goes to it, and it says itself who may do what.
locals {
  fenced = var.jwt != null
}

resource "aws_apigatewayv2_api" "this" {
  name                         = var.name
  description                  = "Isocenter"
  protocol_type                = "HTTP"
  disable_execute_api_endpoint = var.domain != null

  dynamic "cors_configuration" {
    for_each = length(var.cors_origins) > 0 ? [1] : []
    content {
      allow_origins = var.cors_origins
      allow_methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
      # API Gateway passes over what the function says of origins, so that all that it would say is said here.
      allow_headers = ["accept", "authorization", "content-type", "idempotency-key", "if-match", "if-none-match", "range", "x-api-key", "x-request-id"]
      expose_headers = [
        "accept-ranges", "content-location", "content-range", "etag", "link", "location", "repr-digest", "retry-after",
        "warning", "x-total-count", "x-request-id",
      ]
      max_age = 3600
    }
  }
}

resource "aws_apigatewayv2_integration" "this" {
  api_id                 = aws_apigatewayv2_api.this.id
  integration_type       = "AWS_PROXY"
  integration_uri        = var.invoke_arn
  payload_format_version = "2.0"
  timeout_milliseconds   = 30000
}

resource "aws_apigatewayv2_authorizer" "jwt" {
  count            = local.fenced ? 1 : 0
  api_id           = aws_apigatewayv2_api.this.id
  name             = "jwt"
  authorizer_type  = "JWT"
  identity_sources = ["$request.header.Authorization"]
  jwt_configuration {
    audience = var.jwt.audience
    issuer   = var.jwt.issuer
  }
}

resource "aws_apigatewayv2_route" "default" {
  #checkov:skip=CKV_AWS_309:the function checks keys and tokens itself; the authorizer is a second fence, by option
  api_id             = aws_apigatewayv2_api.this.id
  route_key          = "$default"
  target             = "integrations/${aws_apigatewayv2_integration.this.id}"
  authorization_type = local.fenced ? "JWT" : "NONE"
  authorizer_id      = local.fenced ? aws_apigatewayv2_authorizer.jwt[0].id : null
}

# Links that are given out and what says that the system lives take no token.
resource "aws_apigatewayv2_route" "open" {
  #checkov:skip=CKV_AWS_309:these are open by design: a link carries its own signature
  for_each  = local.fenced ? toset(var.open_routes) : toset([])
  api_id    = aws_apigatewayv2_api.this.id
  route_key = each.key
  target    = "integrations/${aws_apigatewayv2_integration.this.id}"
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:how long lines are kept is a variable
  name              = "/aws/apigateway/${var.name}"
  retention_in_days = var.log_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_apigatewayv2_stage" "default" {
  api_id      = aws_apigatewayv2_api.this.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    throttling_burst_limit   = var.burst
    throttling_rate_limit    = var.rate
    detailed_metrics_enabled = true
  }

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.this.arn
    # No path and no query: they can hold identifiers.
    format = jsonencode({
      request_id = "$context.requestId"
      ip         = "$context.identity.sourceIp"
      method     = "$context.httpMethod"
      status     = "$context.status"
      bytes      = "$context.responseLength"
      ms         = "$context.responseLatency"
      error      = "$context.error.messageString"
      fault      = "$context.integrationErrorMessage"
    })
  }
}

resource "aws_lambda_permission" "this" {
  statement_id  = "api"
  action        = "lambda:InvokeFunction"
  function_name = var.function_name
  qualifier     = "live"
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.this.execution_arn}/*/*"
}

resource "aws_apigatewayv2_domain_name" "this" {
  count       = var.domain == null ? 0 : 1
  domain_name = var.domain.name
  domain_name_configuration {
    certificate_arn = var.domain.certificate_arn
    endpoint_type   = "REGIONAL"
    security_policy = "TLS_1_2"
  }
}

resource "aws_apigatewayv2_api_mapping" "this" {
  count       = var.domain == null ? 0 : 1
  api_id      = aws_apigatewayv2_api.this.id
  domain_name = aws_apigatewayv2_domain_name.this[0].id
  stage       = aws_apigatewayv2_stage.default.id
}
