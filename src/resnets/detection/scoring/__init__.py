"""Scoring of detections as the official tools do it: PASCAL VOC's average precision and COCO's twelve numbers."""
