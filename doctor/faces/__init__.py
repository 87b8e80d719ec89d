"""Where faces are in pictures, and what to cut out around them."""
