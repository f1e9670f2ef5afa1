# SPDX-License-Identifier: Apache-2.0
"""Images that come in and go out by folders, layouts and archives."""
