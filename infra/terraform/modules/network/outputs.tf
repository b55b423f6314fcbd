output "network" {
  description = "What the functions are told: subnets and security groups."
  value       = { subnets = var.subnets, security_groups = [aws_security_group.functions.id] }
}
