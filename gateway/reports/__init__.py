"""Results out: one result object, rendered as FHIR R4, DICOM SR, Secondary Capture and a one-page PDF.

Every format is one module with `render(report) -> bytes`; `negotiation` chooses among them.
"""
