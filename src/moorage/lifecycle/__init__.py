# SPDX-License-Identifier: Apache-2.0
"""What becomes of content after the push: whether it is whole, how much there is of it.

Everything here reads the catalogue directly and works beside a registry that serves.
"""
