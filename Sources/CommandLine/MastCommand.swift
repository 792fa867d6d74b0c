@main struct MastCommand { static func main() {} }
