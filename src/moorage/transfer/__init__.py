# SPDX-License-Identifier: Apache-2.0
"""Images on their way in and out by other roads than /v2: folders, layouts and archives.

Invariant: whatever comes in is checked like a push, digests and all; whatever goes out is checked
while it is written.
"""
