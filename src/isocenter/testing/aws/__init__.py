"""AWS on this machine for tests: moto's server, with what it lacks to run what Terraform deployed.

What stays unreal: Rekognition's answers, the cryptography of KMS, throttling, traces, networks; memory limits are told
and not held; schedules are not run.
"""
