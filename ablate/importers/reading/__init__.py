"""What several kinds of logs are read with: rows, protocol buffers, event files, patience."""
