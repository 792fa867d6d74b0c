enum BuiltInCapture { static let name = ""; static let base64 = "" }
