# SPDX-License-Identifier: Apache-2.0
"""The vocabulary of the OCI specifications as pure values and functions.

Names, digests, descriptors, manifests, media types, error codes, ranges, uploads, pages. Nothing
here performs input or output, waits, or imports another package of Moorage; so everything here can
be tested with plain text and trusted everywhere.
"""
