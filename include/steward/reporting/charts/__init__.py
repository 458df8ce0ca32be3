"""Pictures as inline SVG: colours come from the page, so they print and read in dark and light."""
