"""Work of every night that no model asks for."""
