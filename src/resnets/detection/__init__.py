"""Object detection: Faster R-CNN (section 4.3, appendices A and B), its data and scoring."""
