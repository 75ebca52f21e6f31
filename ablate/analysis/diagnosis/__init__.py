"""Why a variant goes wrong: signs in its runs, and the causes that they speak for."""
