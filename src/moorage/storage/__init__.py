# SPDX-License-Identifier: Apache-2.0
"""Where blobs' bytes are: a small contract (`protocol`) and the stores that fulfil it.

A store knows keys and bytes; which digest is where, and who may read it, the catalogue knows.
"""
