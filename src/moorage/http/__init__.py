# SPDX-License-Identifier: Apache-2.0
"""ASGI plumbing: requests, replies, and the application that turns one into the other."""
