mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name          = "isocenter-test"
  function_name = "isocenter-test-api"
  invoke_arn    = "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-central-1:123456789012:function:isocenter-test-api:live/invocations"
  kms_key_arn   = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
}

run "open_to_the_function_alone" {
  assert {
    condition     = length(aws_apigatewayv2_authorizer.jwt) == 0 && length(aws_apigatewayv2_route.open) == 0
    error_message = "No fence unless asked for."
  }
  assert {
    condition     = aws_apigatewayv2_route.default.authorization_type == "NONE" && aws_apigatewayv2_route.default.route_key == "$default"
    error_message = "Every path goes to the function."
  }
  assert {
    condition     = length(aws_apigatewayv2_domain_name.this) == 0 && !aws_apigatewayv2_api.this.disable_execute_api_endpoint
    error_message = "AWS's own address answers where there is no other."
  }
  assert {
    condition     = length(aws_apigatewayv2_api.this.cors_configuration) == 0
    error_message = "No browser calls unless origins are named."
  }
  assert {
    condition     = output.url == "https://abcdef.execute-api.eu-central-1.amazonaws.com" && output.domain_target == null
    error_message = "The address is AWS's."
  }
}

run "fenced" {
  variables {
    jwt = { issuer = "https://login.example.org/", audience = ["isocenter"] }
  }
  assert {
    condition     = aws_apigatewayv2_authorizer.jwt[0].jwt_configuration[0].issuer == "https://login.example.org/" && aws_apigatewayv2_authorizer.jwt[0].jwt_configuration[0].audience == toset(["isocenter"])
    error_message = "Tokens are of the issuer, for the audience."
  }
  assert {
    condition     = aws_apigatewayv2_route.default.authorization_type == "JWT" && aws_apigatewayv2_route.default.authorizer_id == aws_apigatewayv2_authorizer.jwt[0].id
    error_message = "The default route asks for a token."
  }
  assert {
    condition     = toset(keys(aws_apigatewayv2_route.open)) == toset(["GET /health", "GET /ready", "GET /delivered/{proxy+}", "HEAD /delivered/{proxy+}"])
    error_message = "Health and links that carry their own signature take none."
  }
  assert {
    condition     = alltrue([for route in aws_apigatewayv2_route.open : coalesce(route.authorization_type, "NONE") == "NONE"])
    error_message = "Open routes are open."
  }
}

run "browsers" {
  variables {
    cors_origins = ["https://viewer.example.org"]
  }
  assert {
    condition     = aws_apigatewayv2_api.this.cors_configuration[0].allow_origins == toset(["https://viewer.example.org"])
    error_message = "The origins that were named, and no others."
  }
  assert {
    condition     = contains(aws_apigatewayv2_api.this.cors_configuration[0].allow_headers, "authorization") && coalesce(aws_apigatewayv2_api.this.cors_configuration[0].allow_credentials, false) == false
    error_message = "Tokens are sent as headers, and cookies never."
  }
}

run "a_domain" {
  variables {
    domain = { name = "images.example.org", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/11111111-2222-3333-4444-555555555555" }
  }
  assert {
    condition     = aws_apigatewayv2_api.this.disable_execute_api_endpoint && output.url == "https://images.example.org"
    error_message = "The domain answers, and AWS's address does not."
  }
  assert {
    condition     = aws_apigatewayv2_domain_name.this[0].domain_name_configuration[0].security_policy == "TLS_1_2" && aws_apigatewayv2_domain_name.this[0].domain_name_configuration[0].certificate_arn == var.domain.certificate_arn
    error_message = "By the certificate that was given, TLS 1.2 at least."
  }
  assert {
    condition     = aws_apigatewayv2_api_mapping.this[0].api_id == aws_apigatewayv2_api.this.id
    error_message = "It leads to the API."
  }
}
