# SPDX-License-Identifier: Apache-2.0
"""What strangers send: always a 2xx, a 4xx or a closed connection, and nothing is harmed."""
