"""The schema registry: what explains records in Confluent's wire format.

`client` asks it over HTTP, `schemas` keeps what it said, `protoc` compiles .proto texts, `parser`
puts them together from the settings. What the bytes mean stands in `schemas.codec`.
"""
