"""The kinds of steps that pipelines are made of."""
