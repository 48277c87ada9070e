"""The served page: state, controls, tabs; it arranges what the floors below compute and draw."""
