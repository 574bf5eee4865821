"""Object detection: the Faster R-CNN of section 4.3 and Appendices A and B, its data and its scoring."""
